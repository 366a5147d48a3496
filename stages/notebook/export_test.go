package notebook

const RaceDetector = raceDetector
