import { renderSVG } from 'uqr'

/** A QR code as an SVG that loads nothing and grows with its box. */
export const qrSvg = (text: string): string =>
  // The standard asks for a light border of four modules, which a dark page would not give.
  renderSVG(text, { border: 4, ecc: 'M', pixelSize: 1 })
