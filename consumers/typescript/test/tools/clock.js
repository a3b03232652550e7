/** A clock that stands still until it is moved. Unix time, in seconds. */
export class Clock {
  seconds;

  constructor(start = 1_800_000_000) {
    this.seconds = start;
  }

  now = () => this.seconds;

  advance(seconds) {
    this.seconds += seconds;
  }
}
