"""What the report says of each study beside its own results: its question, and where the reference study went wrong."""

from __future__ import annotations

QUESTION = (
    "What can small networks learn from frozen AlexNet features, or from raw pixels, under which hyperparameters, and can "
    "the comparison be trusted?"
)

QUESTIONS = {
    "exploration": "What is in the images?",
    "features": "What are the frozen AlexNet features of these images like?",
    "activations": "Which activation function serves a small network best, and does a network written from scratch keep up "
    "with scikit-learn's?",
    "hidden_units": "How wide must one hidden layer be, and does width overfit?",
    "learning_rates": "Which learning rate is best, which is unstable, and which too slow?",
    "classifier": "How well does a small network on the features tell the classes apart, and are the features worth more "
    "than raw pixels?",
    "tsne": "What has the best network's last hidden layer learned?",
}

CAPTIONS = {
    "samples": "images",
    "pca": "principal components",
    "classes": "images of each class",
    "features": "values, features and principal components",
    "tsne": "the map",
    "most-wrong": "the images it was most surely wrong about",
    "roc-and-precision-recall": "ROC, precision and recall",
    "summary": "all configurations with their seeds",
    "test-accuracy": "test accuracy beside scikit-learn's",
}
"""What figures are called where their file's name does not say enough."""

FAULTS = {
    "activations": (
        "A: its score for the linear network in scikit-learn, 0.9767, is the ReLU network's, scored again.",
        "This run compares the predictions of all models and says so when two are the same; the linear network has a score "
        "of its own.",
    ),
    "hidden_units": (
        "B and C: the first row of both data files was taken for a header, so one training and one validation row were "
        "missing; and one run each, so no finding could be told from chance.",
        "This run reads every row, and each configuration has several seeds; what is called real is so by paired tests.",
    ),
    "features": (
        "E: images were padded to AlexNet's input and not normalised as in its training.",
        "This run resizes and normalises them.",
    ),
    "classifier": (
        "F: the 10,000 test images were the training images again, the loss (categorical cross-entropy on one output) is "
        "near zero whatever the network answers, so that it could not learn, and the printed confusion matrix has its axes "
        "the other way round than it is read: rows predicted, columns true.",
        "This run refuses test images that are training images (by content), flags a network that is no better than the "
        "most frequent class, and labels both axes: rows true, columns predicted.",
    ),
}
"""Study of this run -> what was wrong there, and what stands against it here."""
