"""The MUSEG service: Ray actors that wire the method to vLLM, DeepSpeed and the object store."""
