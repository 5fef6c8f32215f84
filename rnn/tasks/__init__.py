"""What a network is trained on, and how its loss is measured."""

from rnn.tasks.task import Task, embed_fixed_points, student_teacher

__all__ = ["Task", "embed_fixed_points", "student_teacher"]
