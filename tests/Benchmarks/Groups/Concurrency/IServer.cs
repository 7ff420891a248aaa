namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>A policy that serves jobs which arrive at given times of its own clock.</summary>
internal interface IServer
{
    /// <summary>The seconds that it has computed or waited for an arrival.</summary>
    double Clock { get; }

    /// <summary>Whether all jobs have ended.</summary>
    bool IsDone { get; }

    /// <summary>The seconds from the arrival to the end of each job.</summary>
    IReadOnlyList<double> Latencies { get; }

    /// <summary>Computes as much as cannot be interrupted by an arrival, or waits for the next one.</summary>
    void Advance();
}
