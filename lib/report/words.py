"""What the report says of each study beside its own results: its question, and what its figures are called."""

from __future__ import annotations

QUESTION = (
    "What can small networks learn from frozen AlexNet features, or from raw pixels, under which hyperparameters, and can "
    "the comparison be trusted?"
)

QUESTIONS = {
    "exploration": "What is in the images?",
    "features": "Which AlexNet features stand for the images, and how fast are they extracted?",
    "activations": "Which activation function serves a small network best, and does a network written from scratch keep up "
    "with scikit-learn's?",
    "hidden_units": "How wide must one hidden layer be, and does width overfit?",
    "learning_rates": "Which learning rate is best, which is unstable, and which too slow?",
    "classifier": "How well does a small network on the features tell the classes apart, and are the features worth more "
    "than raw pixels?",
    "tsne": "How does the best activation's network lay out the classes in its last hidden layer?",
}

BRIEFS = {
    "tsne": "A map to look at, no test: classes that lie apart in it are apart in the layer, distances in it mean little. The "
    "divergence is 0 where the map keeps all neighbourhoods"
}
"""Answers in a clause of studies that the reference study's questions are not asked of."""

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
