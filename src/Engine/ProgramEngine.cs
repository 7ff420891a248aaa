using Ndif.Engine.Gradients;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>
/// Runs the programs of one or several jobs on a model, synchronously on the calling thread.
/// 1. Every session runs until it reaches a trace or ends.
/// 2. The traces are grouped into passes (<see cref="GradModeScope.GroupIntoPasses"/>), which run.
/// 3. The sessions continue after their traces, until all have ended.
/// 4. If a pass that several jobs share fails in the model, each of its jobs runs again alone, so that the job at fault is found.
/// </summary>
internal static class ProgramEngine
{
    /// <summary>Runs all jobs to the end. A failure is reported by its own job (<see cref="JobRun.Error"/>) and not thrown.</summary>
    public static void Run(HookedModel model, IReadOnlyList<JobRun> jobs)
    {
        using var noGraph = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        foreach (JobRun job in RunBatched(model, jobs)) // 4
        {
            job.Restart();
            RunBatched(model, [job]);
        }
        foreach (JobRun job in jobs) FinishJob(job);
    }

    /// <returns>The jobs whose shared pass has failed.</returns>
    private static List<JobRun> RunBatched(HookedModel model, IReadOnlyList<JobRun> jobs)
    {
        List<Interpreter> sessions = [.. jobs.Select(job => new Interpreter(job, 0, null))];
        List<JobRun> failedJobs = [];
        while (true)
        {
            List<TraceRun> traces = [];
            foreach (Interpreter session in sessions) // 1
            {
                if (session.Job.CheckCancelled() || session.IsDone) continue;
                using (torch.set_grad_enabled(session.Job.Plan.Autograd.IsUsed)) session.Run();
                if (session.WaitReason is WaitReason.ForwardPass) traces.Add(new TraceRun(session.Job, session.AwaitedTrace!));
            }
            if (traces.Count == 0) return failedJobs;
            foreach (TraceRun[] pass in GradModeScope.GroupIntoPasses(traces, model.CanBatch)) // 2
                failedJobs.AddRange(RunPass(model, pass));
            sessions.RemoveAll(session => failedJobs.Contains(session.Job));
            foreach (Interpreter session in sessions) // 3
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
            // the forward of the model failed, most likely on a value that the program has written
            JobRun job = traces[0].Job;
            job.Fail(
                ForwardErrorTranslator.Translate(e, "The model's forward pass",
                    "If the program replaced a value of the model, check its shape and element type."), job.LastWriteNode
                    ?? traces[0].Statement.Id);
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
