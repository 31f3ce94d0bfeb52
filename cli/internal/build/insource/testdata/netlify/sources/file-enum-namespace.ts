namespace Jobs { export const name = 'x' }
enum State { On, Off }
abstract class Base { constructor(private readonly name: string, protected n?: number) {} }
export default async () => new Response(Jobs.name + State.On)
export const config = { schedule: '@daily' }
