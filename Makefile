# Every way to run the study. make is the pipeline engine: one target a chapter, in the book's order.
#
#   make demo                                    the whole study on the built-in phantom, and the book
#   make demo PROFILE=covid-smoke DATA=folder    another profile of params/; DATA stands for ${DATA} in its files

PROFILE ?= demo
DATA    ?=
VENV    ?= .venv
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
# This machine's part of the fine-tuning grid, or of the comparison, e.g. 2/4
SHARE   ?= 1/1
# Longest run of one cell in seconds; empty: no limit
CELL_TIMEOUT ?=

# Compiled bytecode saves every chapter some ten seconds of importing
unexport PYTHONDONTWRITEBYTECODE

# uv installs in a third of pip's time, but knows nothing of pip's own configuration: where it fails, pip takes over.
UV   := uv==0.13.9
PY   := $(VENV)/bin/python
PIP   = $(PY) -m pip install --quiet --disable-pip-version-check
ENV  := $(VENV)/.installed
RUNS := runs/$(PROFILE)
HTML := _build/$(PROFILE)/html

# The chapters in their order: those entries of _toc.yml that are notebooks.
CHAPTERS := $(foreach name,$(shell sed -n 's/^ *- file: *//p' _toc.yml),$(if $(wildcard book/$(name).ipynb),$(name)))
PAGES    := $(wildcard book/*.md book/*.bib book/images/* book/_static/* benchmarks/results/demo_seeds.json) \
            _config.yml _toc.yml pipeline/build_book.py pipeline/described_images.py

# What a chapter's results depend on besides its own source and parameters: the chapters whose results it takes (a new
# one's: the chapter before it), and code.
INPUTS_corpus      := phantom
INPUTS_reports     := corpus
INPUTS_pretraining := corpus
INPUTS_zero_shot   := corpus pretraining
INPUTS_grounding   := corpus pretraining
INPUTS_finetuning  := corpus pretraining
INPUTS_comparison  := corpus pretraining zero_shot grounding finetuning

code = $(shell find $(1)/ -name '*.py' -o -name '*.toml' 2>/dev/null)
PIPELINE        := pipeline/chapter.py pipeline/parameters.py pipeline/run_chapter.py
CORPUS          := $(addprefix medslip_core/, vocabulary.py corpus.py naming.py report_sections.py figures.py \
                      image_figures.py)
CODE_phantom    := $(call code,data_prep/phantom) $(call code,data_prep/image) $(wildcard data_prep/*.py) $(CORPUS) \
                      $(wildcard benchmarks/results/phantom_difficulty.json)
CODE_corpus     := $(call code,data_prep) $(CORPUS)
CODE_reports    := $(call code,data_prep/reports) $(call code,data_prep/phantom) $(CORPUS) \
                      $(wildcard benchmarks/results/coded_reports.json)
CODE_OTHERS     := $(call code,medslip_core)
CODE_pretraining := $(CODE_OTHERS) $(wildcard benchmarks/results/train_step_cpu.json \
                      benchmarks/results/full_run_estimate.json benchmarks/results/full_size_h100.json)
CODE_finetuning := $(CODE_OTHERS) $(wildcard benchmarks/results/demo_finetuning.json)
CODE_comparison := $(CODE_OTHERS) $(wildcard benchmarks/results/demo_comparison.json \
                      benchmarks/results/demo_budget.json)

results = $(foreach name,$(filter $(1),$(CHAPTERS)),$(RUNS)/$(name)/$(name).ipynb)
RUN_CHAPTER = $(PY) -m pipeline.run_chapter $(1) --profile $(PROFILE) $(if $(DATA),--data "$(DATA)") \
                  $(if $(CELL_TIMEOUT),--cell-timeout $(CELL_TIMEOUT))

.PHONY: demo run asked finetune compare book lab test lint lock clean clean-all help
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

demo: book  ## Run all chapters of PROFILE (default demo), build the book, print its first page
	@echo "The book's first page: $(abspath $(HTML))/index.html"

run: $(call results,$(CHAPTERS))  ## Run the chapters without building the book

# $(1): chapter, $(2): the chapter before it, which is run first, and whose results count where no inputs are named
define chapter_rule
$(RUNS)/$(1)/$(1).ipynb: book/$(1).ipynb $(RUNS)/$(1)/asked.txt $(call results,$(or $(INPUTS_$(1)),$(2))) \
    $$(or $$(CODE_$(1)),$$(CODE_OTHERS)) $$(PIPELINE) requirements.lock | $(call results,$(2)) $$(ENV)
	@$$(call RUN_CHAPTER,$(1))
endef
previous :=
$(foreach name,$(CHAPTERS),$(eval $(call chapter_rule,$(name),$(previous)))$(eval previous := $(name)))

# What was asked of each chapter: rewritten only where it changed.
asked: | $(ENV)
	@$(PY) -m pipeline.asked --profile $(PROFILE) $(if $(DATA),--data "$(DATA)")
$(RUNS)/%/asked.txt: asked
	@:

finetune: $(call results,finetuning)  ## Fine-tune the whole grid of PROFILE, or SHARE=1/4 of it, and show it in its chapter
	@$(PY) -m medslip_core.finetune.grid --params $(RUNS)/finetuning/grid.json --share $(SHARE)
	@$(call RUN_CHAPTER,finetuning)
	@echo "make demo PROFILE=$(PROFILE) builds the book with it"

compare: $(call results,comparison)  ## Train every other model and variant of PROFILE, or SHARE=1/4 of them, and show them in their chapter
	@$(PY) -m medslip_core.comparison.study --params $(RUNS)/comparison/study.json --share $(SHARE)
	@$(call RUN_CHAPTER,comparison)
	@echo "make demo PROFILE=$(PROFILE) builds the book with it"

book: $(HTML)/index.html  ## Build the book of PROFILE from its executed chapters
$(HTML)/index.html: $(call results,$(CHAPTERS)) $(PAGES) requirements.lock | $(ENV)
	@$(PY) -m pipeline.build_book --profile $(PROFILE)

$(ENV): requirements.lock pyproject.toml
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of requirements.lock into $(VENV)"
	@$(PIP) $(UV) && $(PY) -m uv pip install --quiet --python $(PY) --no-deps -r requirements.lock || \
	    { echo "uv could not install them; trying pip"; $(PIP) -r requirements.lock; }
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

lab: $(ENV)  ## Open JupyterLab on the book
	$(PY) -m jupyterlab --notebook-dir . --LabApp.default_url=/lab/tree/book $(if $(filter 0,$(shell id -u)),--allow-root)

test: $(ENV)  ## Run all tests
	$(PY) -m pytest

lint: $(ENV)  ## Check style, and that notebooks carry no outputs
	$(PY) -m ruff check .
	$(PY) -m nbstripout --keep-id --verify book/*.ipynb

lock: $(ENV)  ## Pin every dependency of pyproject.toml anew in requirements.lock
	$(PY) -m pip install --quiet pip-tools==7.6.2
	$(PY) -m piptools compile --quiet --upgrade --allow-unsafe --strip-extras --no-header --no-emit-options \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --extra data --extra cluster --extra book --extra demo --extra dev --output-file requirements.lock pyproject.toml

clean:  ## Remove the runs, data and book of PROFILE
	$(if $(strip $(PROFILE)),,$(error PROFILE is empty: name the profile whose runs are to go))
	rm -rf $(RUNS) data/$(PROFILE) _build/$(PROFILE)

clean-all:  ## Remove all runs, data, books and the virtual environment .venv
	rm -rf runs data _build .venv

help:  ## Show this list
	@echo "Chapters: $(CHAPTERS)"
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20
