export default {
  greeting: 'from an object',
  async fetch() {
    return new Response(this.greeting)
  },
}
