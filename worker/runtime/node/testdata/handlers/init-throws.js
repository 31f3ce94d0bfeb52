console.log('about to fail')
throw new Error('cannot start: DATABASE_URL is not set')
