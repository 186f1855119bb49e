// A mail server that keeps what it is sent: a line of JSON for each mail, after one with its port.
const { SMTPServer } = require("smtp-server");

const server = new SMTPServer({
  // Whoever says something is somebody.
  onAuth: (auth, session, done) => done(null, { user: auth.username }),
  authOptional: true,
  allowInsecureAuth: true,
  disabledCommands: ["STARTTLS"],
  onData(stream, session, done) {
    const parts = [];
    stream.on("data", (part) => parts.push(part));
    stream.on("end", () => {
      const to = session.envelope.rcptTo.map((one) => one.address);
      console.log(JSON.stringify({ to, text: Buffer.concat(parts).toString() }));
      done();
    });
  },
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.server.address().port })));
