"""Train readers: the compiled step, several runs at once, selection on validation, checkpoints and resumption;
contrastive pre-training without labels."""

from wsjax.train.config import Plan as Plan
from wsjax.train.config import Trial as Trial
from wsjax.train.contrast import Contrasted as Contrasted
from wsjax.train.contrast import contrast as contrast
from wsjax.train.contrast import features_of as features_of
from wsjax.train.inputs import Arrays as Arrays
from wsjax.train.load import load as load
from wsjax.train.load import load_trained as load_trained
from wsjax.train.loop import train as train
from wsjax.train.nt_xent import nt_xent as nt_xent
from wsjax.train.scores import accuracy as accuracy
from wsjax.train.scores import r2 as r2
from wsjax.train.state import Settings as Settings
from wsjax.train.state import TrainState as TrainState
from wsjax.train.targets import Targets as Targets
from wsjax.train.trained import Trained as Trained
from wsjax.train.trained import evaluate as evaluate
from wsjax.train.trained import kendall_tau as kendall_tau
