export function register() {
  ;(globalThis as any).registered = ((globalThis as any).registered ?? 0) + 1
}
