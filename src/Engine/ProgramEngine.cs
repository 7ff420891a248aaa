using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>
/// Runs programs of one or several owners on a model, together: sessions go on until each stands at a trace, the traces go
/// through one pass, and so on until all are done. Synchronous, on the calling thread.
/// </summary>
public static class ProgramEngine
{
    /// <summary>Runs to the end. A failure is its job's own (<see cref="JobRun.Error"/>); nothing is thrown for it.</summary>
    public static void Run(HookedModel model, IReadOnlyList<JobRun> jobs)
    {
        using var noGraph = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        foreach (JobRun job in RunBatched(model, jobs))
        {
            job.Restart();
            RunBatched(model, [job]);
        }
        foreach (JobRun job in jobs) FinishJob(job);
    }

    /// <returns>The jobs that lost a pass which others shared: whose fault it was, they show alone.</returns>
    private static List<JobRun> RunBatched(HookedModel model, IReadOnlyList<JobRun> jobs)
    {
        List<Interpreter> sessions = [.. jobs.Select(job => new Interpreter(job, 0, null))];
        List<JobRun> lost = [];
        while (true)
        {
            List<TraceRun> traces = [];
            foreach (Interpreter session in sessions)
            {
                if (session.Job.CheckCancelled() || session.IsDone) continue;
                using (torch.set_grad_enabled(session.Job.Plan.Autograd.IsUsed)) session.Run();
                if (session.WaitReason is WaitReason.ForwardPass) traces.Add(new TraceRun(session.Job, session.AwaitedTrace!));
            }
            if (traces.Count == 0) return lost;
            foreach (TraceRun[] pass in GradModeScope.GroupIntoPasses(traces, model.CanBatch))
                lost.AddRange(RunPass(model, pass));
            sessions.RemoveAll(session => lost.Contains(session.Job));
            foreach (Interpreter session in sessions)
                if (session.WaitReason is WaitReason.ForwardPass && !session.Job.HasFailed) session.CompleteTrace();
        }
    }

    private static IEnumerable<JobRun> RunPass(HookedModel model, TraceRun[] traces)
    {
        foreach (TraceRun trace in traces) trace.Job.LastWriteNode = null;
        try
        {
            using var graph = new GradModeScope(traces);
            model.Run(traces);
            return [];
        }
        catch (Exception) when (traces.Length > 1)
        {
            return traces.Select(t => t.Job).Where(job => !job.HasFailed);
        }
        catch (Exception e)
        {
            // the model's own forward failed, most likely on a value that the program put in
            JobRun job = traces[0].Job;
            job.Fail(ForwardErrorTranslator.Translate(e, "The model's forward pass", "If the program replaced a value of the model, check its shape and element type."), job.LastWriteNode ?? traces[0].Statement.Id);
            return [];
        }
        finally
        {
            foreach (TraceRun trace in traces) trace.Dispose();
        }
    }

    private static void FinishJob(JobRun job)
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
