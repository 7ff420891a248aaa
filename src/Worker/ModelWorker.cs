using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>
/// Who runs jobs.
/// 1. Load the models that it is started with, describe them to the gateways, say that it lives (<see cref="Presence"/>).
/// 2. Serve each (<see cref="Serving"/>), and see to it that what else is wanted is held (<see cref="Caretaker"/>).
/// 3. Told to drain: take nothing new, and leave when what runs has ended. Told to stop: the same, but what still runs after
///    <see cref="WorkerOptions.Grace"/> is cancelled and goes back to the queue.
/// </summary>
public sealed class ModelWorker(WorkerOptions options, QueueBackend backend, ILogger<ModelWorker> log, TimeProvider? time = null)
{
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the models that it is started with are loaded and announced.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Loads, serves, and returns when it has stopped or drained.</summary>
    /// <param name="progress">How far loading is: model, bytes done, bytes in all.</param>
    public async Task RunAsync(IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken stopping = default)
    {
        using var abort = new CancellationTokenSource(); // what runs is given back
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var gone = new CancellationTokenSource();
        var (residents, jobs) = (new Residents(), new RunningJobs());
        var loader = new Loader(options, backend, residents, jobs, log, _time, abort.Token);
        var presence = new Presence(options, backend, residents, jobs, log, _time);
        var caretaker = new Caretaker(options, backend, residents, loader, presence, log, _time);
        Task beating = Task.CompletedTask;
        using CancellationTokenRegistration stop = stopping.Register(() => GiveUpAfterGrace(abort));
        try
        {
            options.Validate();
            List<Serving> fixedModels = await StartAsync(residents, loader, presence, progress, stopping); // 1
            beating = presence.BeatAsync(gone.Token);
            _ready.TrySetResult();
            foreach (Serving serving in fixedModels) loader.Start(serving, []); // 2
            Task caring = caretaker.RunAsync(progress, over.Token);
            Task first = await Task.WhenAny(caring, loader.Broken, beating);
            await over.CancelAsync();
            if (first != caring) await abort.CancelAsync(); // a worker that cannot serve must not go on saying that it lives
            await caring;
            await Task.WhenAll(caretaker.EndAsync(), EndAsync(residents, presence)); // 3
            await first;
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // asked to stop before it served
        }
        catch (Exception e)
        {
            _ready.TrySetException(e);
            throw;
        }
        finally
        {
            _ready.TrySetCanceled(CancellationToken.None);
            await abort.CancelAsync();
            await gone.CancelAsync();
            await beating.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await presence.LeaveAsync();
            foreach (Serving serving in residents.All)
            {
                await serving.DrainAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                serving.Dispose();
                serving.Host.Dispose();
            }
            foreach (ModelHost warm in residents.Warm) warm.Dispose();
        }
    }

    private async Task<List<Serving>> StartAsync(Residents residents, Loader loader, Presence presence, IProgress<(string What, long Done, long Total)>? progress, CancellationToken stopping)
    {
        List<Serving> loaded = [];
        foreach (string model in options.Models.Distinct(StringComparer.Ordinal))
        {
            Serving serving = await loader.LoadFixedAsync(model, progress, stopping);
            residents.Add(serving);
            loaded.Add(serving);
            if (options.Memory is { } memory && residents.Bytes > memory) throw WorkerErrors.StartTooLarge(residents.Bytes, memory);
        }
        foreach (Serving serving in loaded) await backend.Workers.DescribeAsync(serving.Host.Subject.Description, stopping);
        await presence.AnnounceAsync(stopping);
        return loaded;
    }

    private static async Task EndAsync(Residents residents, Presence presence)
    {
        presence.IsDraining = true;
        Task ended = Task.WhenAll(residents.All.Select(serving => serving.DrainAsync()));
        await presence.TryAnnounceAsync();
        await ended;
    }

    private void GiveUpAfterGrace(CancellationTokenSource abort)
    {
        if (options.Grace == TimeSpan.Zero) abort.Cancel();
        else abort.CancelAfter(options.Grace);
    }
}
