using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Running;

/// <summary>Runs a program in this process after serializing and parsing it, and serializes its events as well.</summary>
internal sealed class LoopbackRunner(IProgramRunner inner) : IProgramRunner
{
    public Task RunAsync(Protocol.Program program, IRunClient client, CancellationToken cancellationToken = default) =>
        inner.RunAsync(Protocol.Program.Parser.ParseFrom(program.ToByteArray()), new SerializingRunClient(client), cancellationToken);

    private sealed class SerializingRunClient(IRunClient inner) : IRunClient
    {
        public void OnEvent(Event jobEvent) => inner.OnEvent(Event.Parser.ParseFrom(jobEvent.ToByteArray()));

        public void OnEnded(IReadOnlyList<Phase> phases) => inner.OnEnded(phases);

        public ValueTask<LocalReply> AnswerAsync(LocalRequest request, CancellationToken cancellationToken) =>
            inner.AnswerAsync(LocalRequest.Parser.ParseFrom(request.ToByteArray()), cancellationToken);
    }
}
