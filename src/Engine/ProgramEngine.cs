using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>
/// Runs programs of one or several owners on a model, together: sessions go on until each stands at a trace, the traces go
/// through one pass, and so on until all are done. Synchronous, on the calling thread.
/// </summary>
public static class ProgramEngine
{
    /// <summary>Runs to the end. A failure is its job's own (<see cref="JobRun.Error"/>); nothing is thrown for it.</summary>
    public static void Run(SubjectModel subject, IReadOnlyList<JobRun> jobs)
    {
        using var noGraph = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        Interpreter[] sessions = [.. jobs.Select(job => new Interpreter(job, 0, null))];
        while (true)
        {
            List<TraceRun> traces = [];
            foreach (Interpreter session in sessions)
            {
                if (session.Job.CheckCancelled() || session.IsDone) continue;
                session.Run();
                if (session.Waits is Wait.Pass) traces.Add(new TraceRun(session.Job, session.Trace!));
            }
            if (traces.Count == 0) break;
            RunPass(subject, traces);
            foreach (Interpreter session in sessions)
                if (session.Waits is Wait.Pass && !session.Job.HasFailed) session.TraceEnded();
        }
        foreach (JobRun job in jobs) Finish(job);
    }

    private static void RunPass(SubjectModel subject, List<TraceRun> traces)
    {
        try
        {
            subject.Run(traces);
        }
        catch (Exception e)
        {
            // the model's own forward failed, most likely on a value that a program put in: none of these can go on
            foreach (TraceRun trace in traces) trace.Job.Fail(OfForward(e), trace.Statement.Id);
        }
        finally
        {
            foreach (TraceRun trace in traces) trace.Dispose();
        }
    }

    private static Exception OfForward(Exception e) => e is NdifException or { InnerException: NdifException } ? e
        : Errors.Throwable(ErrorCode.OpFailed, $"The model's forward pass failed: {e.Message.Split('\n')[0]}",
            "If the program replaced a value of the model, check its shape and element type.", inner: e);

    private static void Finish(JobRun job)
    {
        try
        {
            job.Finish();
        }
        catch (Exception e)
        {
            job.Fail(e, 0);
        }
    }
}
