"""Faults of the network between hosts. As in process_faults.py: each sets marks and ends with every worker serving again."""

import time

from network import USER
from process_faults import some_worker, stand_still

HELD_S = 5  # a fault that streams go on under


def heal(world, kind="cut healed: it is fenced and rejoins"):
    world.mark(kind)
    world.network.heal()
    world.settle()


def do_without_one_of(world, *pair):
    """Until the cut heals."""
    world.watch("one of them is left out", lambda status, each: each["state"] == "serving"
                and not set(pair) <= {shard["node"] for shard in each["serving"]["shards"]})
    world.wait_tokens()
    heal(world)


def cut_workers(world, rng):
    """Both reach the coordinator, and not each other."""
    one, other = rng.sample(world.workers, 2)
    world.mark("cut between two workers")
    world.network.both(one, other, cut=1)
    do_without_one_of(world, one, other)


def cut_worker_from_coordinator(world, rng):
    name = rng.choice(world.workers)
    world.mark("cut between coordinator and worker")
    world.network.both("c", name, cut=1)
    world.wait_members([each for each in world.workers if each != name])
    world.wait_tokens()
    heal(world)


def cut_off(world, rng, conducts=False):
    """From everybody."""
    name = world.conductor() if conducts else some_worker(world, rng)
    world.mark("the conductor's node cut off" if conducts else "a worker cut off")
    world.network.both(name, "*", cut=1)
    world.wait_members([each for each in world.workers if each != name])
    world.wait_tokens()
    time.sleep(rng.uniform(0, 5))
    heal(world)


def cut_off_conductor(world, rng):
    cut_off(world, rng, conducts=True)


def one_way(world, rng):
    """It hears the others, who do not hear it; or the other way round."""
    name = rng.choice(world.workers)
    world.mark("one-way cut of a worker")
    if rng.random() < 0.5:
        world.network.set(name, "*", cut=1)
    else:
        world.network.set("*", name, cut=1)
    world.wait_members([each for each in world.workers if each != name])
    world.wait_tokens()
    heal(world)


def one_way_workers(world, rng):
    one, other = rng.sample(world.workers, 2)
    world.mark("one-way cut between two workers")
    world.network.set(one, other, cut=1)
    do_without_one_of(world, one, other)


def cut_coordinator(world, rng):
    """Streams go on without it."""
    world.mark("coordinator cut off")
    world.network.both("c", "*", cut=1)
    world.wait_tokens(begun=True)
    time.sleep(rng.uniform(0, HELD_S))
    world.mark("coordinator's cut healed")
    world.network.heal()
    world.settle()


def cut_user_from_coordinator(world, rng):
    world.mark("clients cut from the coordinator")
    world.network.both(USER, "c", cut=1)
    time.sleep(rng.uniform(0, HELD_S))
    world.mark("clients' cut healed")
    world.network.heal()
    world.settle()


def cut_user_from_conductor(world, rng):
    """Nobody else can tell them anything: they go on when they reach it again."""
    name = world.conductor()
    world.mark("clients cut from the conductor")
    world.network.both(USER, name, cut=1)
    time.sleep(rng.uniform(1, HELD_S))
    world.mark("clients reach the conductor again")
    world.network.heal()
    world.settle()


def slow_network(kind, **fault):
    def run(world, rng):
        world.mark(kind)
        world.network.set("*", "*", **fault)
        time.sleep(HELD_S)
        # A long prompt among many takes a minute at 1 Mbit/s: its first token is waited for afterwards.
        world.wait_tokens(begun=True)
        world.mark(kind + ": over")
        world.network.heal()
        world.settle()

    return run


def freeze_mid_frame(world, rng):
    """At 64 kbit/s a frame is on its way for long: whoever stops then has sent a part of one."""
    name = some_worker(world, rng)
    world.mark("SIGSTOP of a worker in the middle of a frame")
    world.network.set(name, "*", rate_bps=64_000)
    time.sleep(rng.uniform(0.05, 0.3))
    stand_still(world, name, meanwhile=world.network.heal)


FAULTS = {
    "cut-workers": cut_workers,
    "cut-coordinator-worker": cut_worker_from_coordinator,
    "cut-off": cut_off,
    "cut-off-conductor": cut_off_conductor,
    "one-way": one_way,
    "one-way-workers": one_way_workers,
    "cut-coordinator": cut_coordinator,
    "cut-client-coordinator": cut_user_from_coordinator,
    "cut-client-conductor": cut_user_from_conductor,
    "delay": slow_network("100 ms delay", delay_us=100_000),
    "loss": slow_network("1 % loss", loss_ppm=10_000),
    "reorder": slow_network("5 % reordered by 5 ms", reorder_ppm=50_000),
    "rate": slow_network("1 Mbit/s", rate_bps=1_000_000),
    "freeze-mid-frame": freeze_mid_frame,
}
