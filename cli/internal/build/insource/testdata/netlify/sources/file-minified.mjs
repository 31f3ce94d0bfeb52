var a=async()=>new Response("x"),b={schedule:"@daily",background:!0};export{a as default,b as config};
