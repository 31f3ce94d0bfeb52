export default { deploySucceeded(event) { console.log(event) }, userSignup: async () => undefined }
