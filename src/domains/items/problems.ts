import { defineProblem } from '../../lib/problem.ts'

export const BatchFailed = defineProblem({
  code: 'batch_failed',
  status: 422,
  title: 'Batch failed',
  explanation: 'An operation of the batch could not be done. The batch is atomic, so nothing was done.',
  remedy: 'Read `results`, mend those operations, and send all of them again; or send `atomic: false`.',
})
