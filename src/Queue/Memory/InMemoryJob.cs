using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Ndif.Queue.Rules;

namespace Ndif.Queue.Memory;

/// <summary>A job of the in-memory queue. Accessed only under the lock of the queue.</summary>
internal sealed class InMemoryJob(JobSubmission submission, long number, DateTimeOffset submitted, string? traceParent)
{
    public JobSubmission Submission { get; private set; } = submission;

    public QueueEntry QueueEntry { get; } = new(submission.JobId, submission.Owner, number, submission.Cost / submission.Weight);

    public DateTimeOffset Submitted => submitted;

    public string ProgramHash { get; } = JobRules.HashProgram(submission.Program);

    /// <summary>Why the job may wait for long; empty for nothing.</summary>
    public string Notice { get; set; } = submission.Notice;

    /// <summary>The processes whose clients follow the job, and until when each counts.</summary>
    public Dictionary<string, DateTimeOffset> Followers { get; } = [];

    public string? TraceParent => traceParent;

    public List<Event> Events { get; } = [];

    public Dictionary<ulong, LocalReply> Replies { get; } = [];

    /// <summary>The bytes of the job that count as stored in the queue: its program, events and answers.</summary>
    public long QueueBytes { get; set; }

    /// <summary>The bytes of the blobs of its events, as they count.</summary>
    public long BlobBytes { get; set; }

    public List<string> Blobs { get; } = [];

    public JobState State { get; set; }

    /// <summary>The number of leases so far.</summary>
    public int Attempt { get; set; }

    /// <summary>The number of leases that expired.</summary>
    public int LostLeases { get; set; }

    public bool IsDeadLetter { get; set; }

    /// <summary>The current lease; null if the job waits or has ended.</summary>
    public ActiveLease? ActiveLease { get; set; }

    /// <summary>The position that was published last, and when.</summary>
    public (int Position, DateTimeOffset At) LastPublishedPosition { get; set; }

    public string Worker { get; set; } = "";

    public DateTimeOffset? Started { get; set; }

    public DateTimeOffset? Ended { get; set; }

    public Error? Error { get; set; }

    public Usage? Usage { get; set; }

    /// <summary>Frees the program of an ended job. Dead letters keep theirs, because they can be requeued.</summary>
    public void ReleaseProgram() => Submission = Submission with { Program = default };

    public JobInfo ToJobInfo(int position, double waitSeconds) => new()
    {
        Id = Submission.JobId,
        State = State,
        Model = ModelNames.Parse(Submission.Model),
        Submitted = submitted.ToTimestamp(),
        Started = Started?.ToTimestamp(),
        Ended = Ended?.ToTimestamp(),
        Position = (uint)position,
        WaitSeconds = waitSeconds,
        Attempt = (uint)Attempt,
        Error = Error?.Clone(),
        Usage = Usage?.Clone(),
        LastSequence = (ulong)Events.Count,
        Worker = Worker,
        Owner = Submission.Owner,
        Notice = State is JobState.Queued ? Notice : "",
    };
}
