"""Generation: sampling, mutation and crossover of kernels. Every program that leaves here is legal. Needs no torch."""

from kas.generation.completion import complete
from kas.generation.crossover import crossover
from kas.generation.mutate import mutate
from kas.generation.sample import Sampler, sample
from kas.generation.settings import GENOME_STEPS, GenerationSettings

__all__ = ["GENOME_STEPS", "GenerationSettings", "Sampler", "complete", "crossover", "mutate", "sample"]
