using Ndif.Protocol;

namespace Ndif.Running;

/// <summary>Runs a recorded program: the engine in this process, or the service.</summary>
public interface IProgramRunner
{
    /// <summary>Runs to the end, telling <paramref name="client"/> what happens, in order.</summary>
    /// <exception cref="NdifException">The program was refused or failed; the error names its node.</exception>
    Task RunAsync(Protocol.Program program, IRunClient client, CancellationToken cancellationToken = default);
}

/// <summary>A runner whose model has to be loaded before it can run; else its first run does it.</summary>
public interface ILoadableRunner : IProgramRunner
{
    bool IsLoaded { get; }

    Task LoadAsync(CancellationToken cancellationToken = default);
}

/// <summary>The client's side of a run.</summary>
public interface IRunClient
{
    /// <summary>A state, value, log line or warning. Large tensors are inline by the time they come here.</summary>
    void OnEvent(Event jobEvent);

    /// <summary>Answers a program that asks the client in the middle of its run.</summary>
    ValueTask<LocalReply> AnswerAsync(LocalRequest request, CancellationToken cancellationToken);
}
