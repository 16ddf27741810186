"""Running a bundle, without PyTorch: the classifier, features and their cache, runtimes."""

from tellapart.inference.classifiers import Classifier, Prediction

__all__ = ["Classifier", "Prediction"]
