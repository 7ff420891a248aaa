using Ndif;
using Ndif.EndToEnd.Client;

// The program of a remote user, which the tests start. NDIF_HOST and NDIF_API_KEY are the address of the service and the key.
//   run EXPERIMENT [TIMES]   waits for each run      submit EXPERIMENT   does not wait
//   resume ID EXPERIMENT     as run, under an id     watch JOB [FROM]    until the job ends
//   cancel JOB, get JOB                              threads USE COUNT    see FullThreadPool
try
{
    switch (args)
    {
        case ["run", var experiment, .. var times]:
            for (int i = 0; i < (times is [var count] ? int.Parse(count) : 1); i++)
            {
                using RecordedExperiment recorded = Experiments.Record(experiment, Backend.Remote);
                recorded.Trace.OnEvent = jobEvent => Write(ClientMessage.From(jobEvent));
                foreach ((string name, TensorData result) in await recorded.RunAsync()) Write(ClientMessage.From(name, result));
            }
            break;
        case ["resume", var id, var experiment]:
            using (RecordedExperiment recorded = Experiments.Record(experiment, Backend.Remote))
            {
                recorded.Trace.JobId = id;
                recorded.Trace.OnEvent = jobEvent => Write(ClientMessage.From(jobEvent));
                foreach ((string name, TensorData result) in await recorded.RunAsync()) Write(ClientMessage.From(name, result));
            }
            break;
        case ["submit", var experiment]:
            using (RecordedExperiment recorded = Experiments.Record(experiment, Backend.Remote))
                Write(new ClientMessage { Kind = "job", Name = (await recorded.Trace.SubmitAsync()).Id });
            break;
        case ["watch", var id, .. var from]:
            Job watched = await Job.AttachAsync(id);
            await foreach (JobEvent jobEvent in watched.Events(from is [var first] ? ulong.Parse(first) : 1))
                Write(ClientMessage.From(jobEvent));
            foreach ((string name, object? result) in watched.Results) Write(ClientMessage.From(name, (TensorData)result!));
            break;
        case ["cancel", var id]:
            Write(new ClientMessage { Kind = "job", Name = id, State = (await (await Job.AttachAsync(id)).CancelAsync()).State });
            break;
        case ["get", var id]:
            Write(new ClientMessage { Kind = "job", Name = id, State = (await (await Job.AttachAsync(id)).GetAsync()).State });
            break;
        case ["threads", var use, var threads]:
            await FullThreadPool.RunAsync(use, int.Parse(threads));
            break;
        default:
            throw new ArgumentException($"What does `{string.Join(' ', args)}` mean?");
    }
    Write(new ClientMessage { Kind = "end" });
    return 0;
}
catch (Exception e)
{
    Write(ClientMessage.From(e));
    return 1;
}

static void Write(ClientMessage message) => Console.WriteLine(message.ToJson());
