import { setImmediate as nextTurn } from 'node:timers/promises'
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import { buildValidator, type Validate } from './validation.ts'

const buildSerializer = SerializerSelector()

/**
 * Turns schemas into functions when they are first needed. For sixty routes that takes 0.3 s of a core, 0.7 in a process
 * that has just started, in which it would be most of the start; `compileAll` does what is left once there is time.
 */
export function createCompilers() {
  const waiting = new Set<() => unknown>()

  return {
    compilersFactory: {
      buildValidator: (...setting: Parameters<typeof buildValidator>) => {
        const compile = buildValidator(...setting)
        return (...route: Parameters<typeof compile>) => {
          const compiled = lazily(() => compile(...route) as Validate)
          const validate: Validate = value => {
            const valid = compiled()(value)
            validate.errors = compiled().errors
            return valid
          }
          return validate as ReturnType<typeof compile>
        }
      },
      buildSerializer: (...setting: Parameters<typeof buildSerializer>) => {
        const compile = buildSerializer(...setting)
        return (...route: Parameters<typeof compile>) => {
          const compiled = lazily(() => compile(...route))
          return (document: unknown) => compiled()(document)
        }
      },
    },

    /** One at a time, so that the requests of a process that has just started need not wait for all of them. */
    async compileAll() {
      for (const compile of waiting) {
        await nextTurn()
        compile()
      }
    },
  }

  function lazily<Compiled>(compile: () => Compiled): () => Compiled {
    let compiled: { function: Compiled } | undefined
    const get = () => {
      if (compiled === undefined) {
        compiled = { function: compile() }
        waiting.delete(get)
      }
      return compiled.function
    }
    waiting.add(get)
    return get
  }
}
