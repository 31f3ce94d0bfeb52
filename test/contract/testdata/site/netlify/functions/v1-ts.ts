import type { Handler } from '@netlify/functions'
import { typed } from '../../lib/typed'
interface Answer { text: string }
export const handler: Handler = async () => { const a: Answer = { text: typed(3) }; return { statusCode: 200, body: a!.text satisfies string } }
