"""What ``--help`` says. Hydra's own would compose the configuration twice and list every file of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from runner.config.schema import EXTRA_GROUPS, GROUPS

USAGE = """\
usage: python -m runner [key=value ...] [flags]          train
       python -m runner VERB ...                         works on what runs left behind
       runner ...                                        the same

  python -m runner                                       trains the default on embedded data
  python -m runner model=vgg16 optimizer.lr=0.01         chooses an option of a group, sets a value
  python -m runner model=vgg16,lenet seed=0,1,2 -m       sweeps: one run for each combination
  python -m runner experiment=mnist_cae                  a named recipe
  python -m runner --config-path RUN/.hydra --config-name config
                                                         repeats a run from its folder

verbs: check [key=value ...] [-m]                        what a command would be refused for; starts nothing
       resume RUN [key=value ...]                        goes on with a run that stopped; a larger budget extends it
       resume SWEEP [retry_failed=true]                  runs what is missing of a sweep
       status SWEEP                                      where each job stands
       report SWEEP...                                   seeds as one result: tables, curves, one page
       reproduce RUN [--until-epoch N] [key=value ...]   trains again elsewhere: IDENTICAL, or where not, and why
       diff RUN RUN                                      compares two runs
       inspect CHECKPOINT|RUN                            what a file of weights holds
       find-lr [key=value ...] [steps=N]                 which learning rate suits a run; optimizer.lr=find takes it
       find-batch-size [key=value ...]                   the largest batch that fits the GPU
       evaluate RUN [checkpoint=NAME] [key=value ...]    scores it again: by class, calibration, on other data
       archive RUN [--to DIR]                            keeps it: weights, configuration, history, checksums
       predict RUN FILES [--output PLACE] [--tiles]      what its model makes of images
       export RUN [--onnx]                               its network for torch.export, or as ONNX
       experiment ARCHIVE ARCHIVE...                     several on the same test data
       trajectory RUN...                                 the paths of recorded weights: tables and pictures
       trajectory --line RUN[@STEP] RUN[@STEP]           the loss along the straight line between two sets of weights
       trajectory export RUN --csv|--npz DIR             recorded weights for other programs

flags: -m, --multirun      sweep over comma-separated values
       --cfg job           print the composed configuration and leave
       --config-dir DIR    add config groups of your own
       --hydra-help        Hydra's own flags
       --version           the version

RUNNER_TRACEBACK=1 shows the traceback of an error.
"""


def help_text(options: Mapping[str, Mapping[str, str]]) -> str:
    """Usage, flags, and the options of each group that ``options`` names."""
    groups = [group for group in (*GROUPS, *EXTRA_GROUPS) if group in options]
    own = sorted(group for group in options if group not in groups and not group.startswith("hydra"))
    lines = [USAGE, "groups and their options:"]
    for group in (*groups, *own):
        names = ", ".join(sorted(options[group].values()))
        lines.append(textwrap.fill(names, 110, initial_indent=f"  {group:<14}", subsequent_indent=" " * 16))
    return "\n".join(lines)
