"""What a network is trained on, and how its loss is measured."""

from rnn.tasks.adding import adding
from rnn.tasks.context import context_integration
from rnn.tasks.flip_flop import flip_flop
from rnn.tasks.recall import delayed_recall
from rnn.tasks.sine import sine
from rnn.tasks.student_teacher import embed_fixed_points, student_teacher
from rnn.tasks.task import Batch, Task

__all__ = [
    "Batch",
    "Task",
    "adding",
    "context_integration",
    "delayed_recall",
    "embed_fixed_points",
    "flip_flop",
    "sine",
    "student_teacher",
]
