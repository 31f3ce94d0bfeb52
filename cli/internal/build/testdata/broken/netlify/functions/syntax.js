const a = 1
	exports.handler = async ( => {
