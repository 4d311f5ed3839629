interface Output {
  isTTY?: boolean
  write(text: string): unknown
}

const BAR_WIDTH = 30

/** Reports long work: a bar that redraws itself on a terminal, a line per tenth of the way elsewhere. */
export class Progress {
  readonly #label: string
  readonly #total: number
  readonly #output: Output
  #tenthsShown = 0

  constructor(label: string, total: number, output: Output = process.stderr) {
    this.#label = label
    this.#total = total
    this.#output = output
  }

  update(done: number) {
    const share = this.#total === 0 ? 1 : Math.min(done / this.#total, 1)
    const finished = done >= this.#total
    if (this.#output.isTTY) {
      const filled = Math.round(share * BAR_WIDTH)
      const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
      this.#output.write(`\r${this.#label} ${bar} ${done}/${this.#total}${finished ? '\n' : ''}`)
      return
    }
    const tenths = Math.floor(share * 10)
    if (tenths > this.#tenthsShown || finished) {
      this.#tenthsShown = tenths
      this.#output.write(`${this.#label}: ${done} of ${this.#total}\n`)
    }
  }
}
