"""Several archives. Their trees beside the upstream's are listed as what %prep does besides."""

from tests.packages.model import Package

PACKAGES: list[Package] = []
