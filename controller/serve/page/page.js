const reply = await fetch('/api/v1/status');
if (reply.ok) {
    const status = await reply.json();
    document.getElementById('state').textContent = `perturb ${status.version}: the lever is ${status.lever}.`;
}
