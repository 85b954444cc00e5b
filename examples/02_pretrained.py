"""Pretrained models: load two by name, one that attends explicitly and one that does not, and classify raw text."""

import keras

import zoo

REVIEWS = ["a stirring, funny and finally transporting film", "a lesson in how not to spend two hours"]


def main():
    """Returns the probability that each review is positive, by preset."""
    positive = {}
    for name, card in zoo.presets().items():
        if card["subject"] != "sst2":
            continue
        classifier = zoo.load(name)
        logits = classifier.predict(REVIEWS, verbose=0)
        positive[name] = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[:, 1]
        print(f"{name} ({card['kind']}, test {card['score_is']} {card['test_score']:.3f})")
        for review, probability in zip(REVIEWS, positive[name]):
            print(f"  positive with {probability:.0%}: {review}")
    return positive


if __name__ == "__main__":
    main()
