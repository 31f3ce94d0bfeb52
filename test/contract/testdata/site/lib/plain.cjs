module.exports = { plain: 'plain', where: typeof __filename }
