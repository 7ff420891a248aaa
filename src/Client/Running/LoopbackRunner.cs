using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Running;

/// <summary>Runs here what would have been sent: the program and every event go through their bytes.</summary>
internal sealed class LoopbackRunner(IProgramRunner inner) : IProgramRunner
{
    public Task RunAsync(Protocol.Program program, IRunClient client, CancellationToken cancellationToken = default) =>
        inner.RunAsync(Protocol.Program.Parser.ParseFrom(program.ToByteArray()), new SerializingRunClient(client), cancellationToken);

    private sealed class SerializingRunClient(IRunClient inner) : IRunClient
    {
        public void OnEvent(Event jobEvent) => inner.OnEvent(Event.Parser.ParseFrom(jobEvent.ToByteArray()));

        public ValueTask<LocalReply> AnswerAsync(LocalRequest request, CancellationToken cancellationToken) =>
            inner.AnswerAsync(LocalRequest.Parser.ParseFrom(request.ToByteArray()), cancellationToken);
    }
}
