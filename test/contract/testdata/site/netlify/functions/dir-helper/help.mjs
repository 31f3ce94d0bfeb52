export const help = 'helped'
