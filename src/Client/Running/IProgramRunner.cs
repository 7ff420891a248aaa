using Ndif.Protocol;

namespace Ndif.Running;

/// <summary>Runs a recorded program: the engine in this process, or the service.</summary>
public interface IProgramRunner
{
    /// <summary>Runs a program to its end and reports its events to the client in order.</summary>
    /// <exception cref="NdifException">The program was refused or failed; the error names its node.</exception>
    Task RunAsync(Protocol.Program program, IRunClient client, CancellationToken cancellationToken = default);
}

/// <summary>A runner that loads its model: on request, or with the first run.</summary>
public interface ILoadableRunner : IProgramRunner
{
    /// <summary>True once the weights are loaded.</summary>
    bool IsLoaded { get; }

    /// <summary>Loads the weights if they are not loaded yet.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL or BAD_CHECKPOINT.</exception>
    Task LoadAsync(CancellationToken cancellationToken = default);
}

/// <summary>The client's side of a run.</summary>
public interface IRunClient
{
    /// <summary>Receives a state, value, log line or warning. Tensors are always inline.</summary>
    void OnEvent(Event jobEvent);

    /// <summary>The id that the user chose for a job that goes on without its client; null for a job that ends with it.</summary>
    string? ChosenJobId => null;

    /// <summary>Receives the id of a remote job before it is submitted.</summary>
    void OnSubmitting(string jobId) { }

    /// <summary>Receives the times of the phases of a run in this process when it has ended. A service sends its own.</summary>
    void OnEnded(IReadOnlyList<Phase> phases) { }

    /// <summary>Answers a program that calls a function of the client during its run.</summary>
    ValueTask<LocalReply> AnswerAsync(LocalRequest request, CancellationToken cancellationToken);
}
