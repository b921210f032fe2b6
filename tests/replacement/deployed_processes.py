"""What other processes of the tests run: they get a replaced network that they have not built."""

import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel


def outputs(network, x, results):
    """The outputs of a network for the queue."""
    with torch.no_grad():
        results.put(network(x).numpy())


def gradients(rank, world, store, network, x, results):
    """The gradients of one of `world` processes after a backward pass of its share of the batch."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    parallel = DistributedDataParallel(network)
    parallel(x.chunk(world)[rank]).square().mean().backward()
    results.put((rank, {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}))
    torch.distributed.destroy_process_group()
