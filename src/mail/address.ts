/** As long as SMTP allows. */
const MAX_LENGTH = 254

/** One bare address, without anything that could end a header, begin a list or add a name. */
const ADDRESS = /^[^\s\p{Cc}<>()",:;\\[\]@]+@[^\s\p{Cc}<>()",:;\\[\]@]+$/u

export const isMailAddress = (text: string) => text.length <= MAX_LENGTH && ADDRESS.test(text)
