"""lenet5: The network that read cheques, as textbooks draw it today.

LeCun et al., Gradient-based learning applied to document recognition, 1998.
"""

from torch import nn


class LeNet5(nn.Sequential):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2),  # 6×28×28
            nn.Tanh(),
            nn.AvgPool2d(2),  # 6×14×14
            nn.Conv2d(6, 16, 5),  # 16×10×10
            nn.Tanh(),
            nn.AvgPool2d(2),  # 16×5×5
            nn.Flatten(),  # 400
            nn.Linear(400, 120),  # 120
            nn.Tanh(),
            nn.Linear(120, 84),  # 84
            nn.Tanh(),
            nn.Linear(84, num_classes),  # 10
        )
