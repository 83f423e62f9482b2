"""Something that happens after a certain step of training, such as Ctrl-C."""

import signal

__all__ = ["After", "stop_at"]


class After:
    """Does something when the trainer has taken a step."""

    def __init__(self, trainer, epoch, step, action):
        self.take = trainer._train_step
        self.trainer, self.at, self.action = trainer, (epoch, step), action

    def __call__(self, batch):
        self.take(batch)
        if (self.trainer.epoch, self.trainer.step) == self.at:
            self.action()


def stop_at(trainer, epoch, step, number=signal.SIGINT):
    """A signal after a step, such as Ctrl-C sends."""
    trainer._train_step = After(trainer, epoch, step, lambda: signal.raise_signal(number))
