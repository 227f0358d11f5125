"""Ways into DADM: the command line and the OpenAI Service over HTTP."""
