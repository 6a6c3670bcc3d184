"""Models that MeDSLIP is compared with: image and report are contrasted, with no triplets read from the report.

Each is its objective, written here from its paper, on the trunk, images, text encoder, optimiser and steps that all
models of a comparison share. What a paper changes besides (its own trunk, views or text encoder) is not repeated. So
is the pooling shared: a text is the mean over its words in the encoder's last layer, where ConVIRT takes their maximum,
BioViL and MGCA the first token, GLoRIA the sum of four layers with word pieces put together, and LoVT attention.
"""
