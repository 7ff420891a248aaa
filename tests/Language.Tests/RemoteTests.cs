using Ndif.Protocol;

namespace Ndif.Language.Tests;

/// <summary>nnsight's test_remote.py, test_serve.py and test_serve_async.py: runs on a remote backend.</summary>
public sealed class RemoteTests(ServiceFixture service) : LanguageTests(service)
{
    private LanguageModel There => Model(ExecutionMode.Gateway);

    private LanguageModel HereModel => Model(ExecutionMode.Local);

    private async Task<Job> SubmitAsync(Trace t)
    {
        using (t) return await t.SubmitAsync(Cancel);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_remote/TestPrintStatements.test_print_in_trace")]
    public async Task ALog_IsPrinted_InOrder(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        List<string> logs = [];
        using Trace t = llm.Trace(Paris);
        t.OnLog = logs.Add;
        t.Log("shape", llm.Layers[0].Hidden.Shape);
        t.Log("number", llm.Layers[1].Hidden.Shape[^1] + 1, true, 2.5);
        await t.RunAsync(Cancel);
        Assert.Equal(["shape [1, 8, 128]", "number 129 True 2.5"], logs);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_remote/TestInterventions.test_activation_patching", "test_remote/TestSessions.test_basic_session",
        "test_remote/TestSessions.test_session_variable_sharing")]
    public async Task ASession_PatchesOnePromptIntoAnother(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        const string Clean = "When Mary and John went to the store, John gave a drink to",
            Corrupt = "When Mary and John went to the store, Mary gave a drink to";
        using Session s = llm.Session();
        Value clean;
        Saved cleanWord, corruptWord, patchedWord;
        using (llm.Trace(Clean))
        {
            clean = llm.Layers[^1].Hidden[.., ^1, ..];
            cleanWord = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
        }
        using (llm.Trace(Corrupt)) corruptWord = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
        using (llm.Trace(Corrupt))
        {
            llm.Layers[^1].Hidden[.., ^1, ..] = clean;
            patchedWord = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
        }
        await s.RunAsync(Cancel);
        Assert.Equal([" Mary", " John", " Mary"], llm.Tokenizer.BatchDecode([cleanWord, corruptWord, patchedWord]));
    }

    [Fact]
    [PortedFrom("test_serve/TestNumericalMatch.test_hidden_states_match", "test_serve/TestNumericalMatch.test_logits_match",
        "test_serve/TestNumericalMatch.test_intervention_results_match")]
    public async Task WhatRunsThere_GivesTheBytesOfWhatRunsHere()
    {
        List<Saved[]> all = [];
        foreach (ExecutionMode way in Enum.GetValues<ExecutionMode>())
        {
            LanguageModel llm = Model(way);
            all.Add(await llm.TraceAsync(Paris, _ =>
            {
                Saved hidden = llm.Layers[0].Hidden.Clone().Save();
                llm.Layers[1].Hidden += 0.1 * Op.RandnLike(llm.Layers[1].Hidden, seed: 11);
                return (Saved[])[hidden, llm.Layers[1].Hidden.Save(), llm.LmHead.Output.Save()];
            }, cancellationToken: Cancel));
        }
        foreach (Saved[] there in all[1..])
            for (int i = 0; i < 3; i++) Same(all[0][i], there[i]);
    }

    [Fact]
    [PortedFrom("test_remote/TestNonBlocking.test_non_blocking_request", "test_serve/TestNonBlocking.test_single_nonblocking",
        "test_serve/TestNonBlocking.test_nonblocking_hidden_states",
        "test_serve_async/TestErrorHandling.test_nonblocking_double_collect")]
    public async Task AJobThatIsNotWaitedFor_GivesItsSaves_WheneverAsked()
    {
        LanguageModel llm = There;
        Trace t = llm.Trace(Paris);
        Saved hidden = llm.Layers[0].Hidden.Save(), logits = llm.LmHead.Output.Save("logits");
        Job job = await SubmitAsync(t);
        await job.WaitAsync(Cancel);
        await job.WaitAsync(Cancel); // a second wait also succeeds
        Assert.Equal(" Paris", Next(llm, logits));
        Assert.Equal([1, 8, 128], hidden.Tensor.Shape.ToArray());
        Assert.Equal(JobState.Completed, (await job.GetAsync(Cancel)).State);
        Job same = await Job.AttachAsync(job.Id, Backend(ExecutionMode.Gateway), Cancel);
        List<string> seen = [];
        await foreach (JobEvent jobEvent in same.Events(cancellationToken: Cancel)) seen.Add(jobEvent.ToString());
        Assert.Contains("value: logits", seen);
        Assert.Equal("completed", seen[^1]);
        Same(logits, (TensorData)same.Results["logits"]!);
    }

    [Fact]
    [PortedFrom("test_serve/TestNonBlocking.test_concurrent_nonblocking",
        "test_serve_async/TestTimingOverlap.test_concurrent_faster_than_sequential",
        "test_serve_async/TestResultIsolation.test_same_varname_different_prompts",
        "test_serve_async/TestResultIsolation.test_same_varname_same_prompt",
        "test_serve_async/TestResultIsolation.test_multiple_saves_isolation")]
    public async Task ManyJobsAtOnce_GiveEachItsOwn_UnderTheSameNames()
    {
        LanguageModel llm = There;
        string[] prompts = [Paris, Rome, NewYork, "Hello", Paris, Rome, NewYork, Paris];
        var runs = await Task.WhenAll(prompts.Select(async prompt =>
        {
            Trace t = llm.Trace(prompt);
            Saved hidden = llm.Layers[0].Hidden.Save("hidden"), logits = llm.LmHead.Output.Save("logits");
            await (await SubmitAsync(t)).WaitAsync(Cancel);
            return (hidden, logits);
        }));
        Assert.Equal([" Paris", " Rome", " New", "!", " Paris", " Rome", " New", " Paris"], runs.Select(run => Next(llm, run.logits)));
        Near(runs[0].logits, runs[^1].logits);
        Assert.Equal(prompts.Select(p => (long)llm.Tokenizer.Encode(p).Count), runs.Select(run => run.hidden.Tensor.Shape[1]));
    }

    [Fact]
    [PortedFrom("test_serve/TestBatching.test_batched_clean_and_corrupted_raises_clear_error",
        "test_serve_async/TestErrorHandling.test_failing_intervention_isolation",
        "test_server_errors/TestSurfaceServerErrors.test_raises_runtime_error_preserving_fields",
        "test_server_errors/TestSurfaceServerErrors.test_raises_runtime_error_not_original_type",
        "test_server_errors/TestCaptureDeferred.test_captures_type_name_and_message",
        "test_server_errors/TestCaptureDeferred.test_traceback_captured_with_real_frames")]
    public async Task AJobThatFails_SaysWhy_AndDoesNotHurtThoseBesideIt()
    {
        LanguageModel llm = There;
        Task[] runs = [.. Enumerable.Range(0, 8).Select(async i =>
        {
            using Trace t = llm.Trace(Paris);
            Saved early = llm.Layers[0].Hidden.Save();
            if (i % 2 == 1) llm.Layers[1].Hidden[.., 40] = 0;
            Saved logits = llm.LmHead.Output.Save();
            if (i % 2 == 0)
            {
                await t.RunAsync(Cancel);
                Assert.Equal(" Paris", Next(llm, logits));
                return;
            }
            var thrown = await Assert.ThrowsAsync<IndexOutOfRangeException>(() => t.RunAsync(Cancel));
            Assert.StartsWith("index 40 is out of bounds for dimension 1 with size 8", thrown.Message, StringComparison.Ordinal);
            Assert.Contains("llm.Layers[1].Hidden[.., 40] = 0;", thrown.Message, StringComparison.Ordinal);
            Assert.Equal(("RemoteTests.cs", ErrorCode.IndexOutOfRange),
                (Errors.FromException(thrown).Line.File, Errors.FromException(thrown).Code));
            Assert.True(early.HasValue); // values that were saved before the failure are received
            Assert.False(logits.HasValue);
        })];
        await Task.WhenAll(runs);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_server_errors/TestCaptureDeferred.test_no_deferred_returns_none",
        "test_server_errors/TestCaptureDeferred.test_early_stop_marked_as_control_flow",
        "test_server_errors/TestSurfaceServerErrors.test_empty_returns_silently",
        "test_server_errors/TestSurfaceServerErrors.test_only_control_flow_returns_silently",
        "test_server_errors/TestSurfaceServerErrors.test_control_flow_filtered_before_real_error")]
    public async Task AStop_IsNoError_AndDoesNotHideOne(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace stopped = llm.Trace(Paris);
        Saved hidden = llm.Layers[0].Hidden.Save();
        stopped.Stop();
        await stopped.RunAsync(Cancel);
        Assert.True(hidden.HasValue);
        using Trace both = llm.Trace();
        using (both.Invoke(Paris))
        {
            llm.Layers[0].Hidden.Save();
            both.Stop();
        }
        using (both.Invoke(Rome)) llm.Layers[1].Hidden[.., 30].Save();
        await Assert.ThrowsAsync<IndexOutOfRangeException>(() => both.RunAsync(Cancel));
    }

    [Fact]
    public async Task AnEstimate_SaysWhatARunCosts_AndQueuesNothing()
    {
        int before = (await Job.ListAsync(remote: Backend(ExecutionMode.Gateway), cancellationToken: Cancel)).Count;
        using Trace t = There.Generate(new[] { 5, 6, 7 }, maxNewTokens: 4);
        Saved logits = There.Logits.Save();
        Estimate estimate = await t.EstimateAsync(Cancel);
        Assert.Equal(4u, estimate.Passes);
        Assert.InRange(estimate.Tokens, 6ul, 7ul);
        Assert.True(estimate.ResultBytes > 0 && estimate.PeakBytes >= estimate.ResultBytes, $"{estimate}");
        Assert.Equal(before, (await Job.ListAsync(remote: Backend(ExecutionMode.Gateway), cancellationToken: Cancel)).Count);
        await t.RunAsync(Cancel); // the trace can still run
        Assert.InRange((ulong)logits.Tensor.Bytes.Length, 1ul, estimate.ResultBytes);

        using Trace bad = There.Trace(Paris);
        There.Logits[0, 99].Save();
        await Assert.ThrowsAnyAsync<IndexOutOfRangeException>(() => bad.RunAsync(Cancel)); // only a run detects the error
        using Trace here = HereModel.Trace(Paris);
        HereModel.Logits.Save();
        await Assert.ThrowsAsync<InvalidOperationException>(() => here.EstimateAsync(Cancel));
    }

    [Fact]
    [PortedFrom("test_serve_async/TestErrorHandling.test_wrong_server_url")]
    public async Task AServiceThatIsNotThere_IsSaid()
    {
        var llm = new LanguageModel(ServiceFixture.Model, remote: Ndif.Backend.Local);
        using Trace t = llm.Trace(Paris, remote: Ndif.Backend.At("http://127.0.0.1:9", "ndif_nokey"));
        llm.LmHead.Output.Save();
        var thrown = await Assert.ThrowsAsync<NdifException>(() => t.RunAsync(Cancel));
        Assert.Equal(ErrorCode.Unavailable, thrown.Code);
        Assert.Contains("The service at http://127.0.0.1:9/ does not answer", thrown.Message, StringComparison.Ordinal);
        Assert.Contains("ndif up", thrown.Message, StringComparison.Ordinal);
        Assert.Contains("Invalid host `ftp://x`", Assert.Throws<ArgumentException>(() => Ndif.Backend.At("ftp://x")).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task TracesAtTheSameTime_FetchTheDescriptionOnce()
    {
        const int Threads = 8;
        var llm = new LanguageModel(ServiceFixture.Model, remote: Backend(ExecutionMode.Gateway));
        using var start = new System.Threading.Barrier(Threads);
        ModelDescription[] descriptions = await Task.WhenAll(Enumerable.Range(0, Threads).Select(_ =>
            Task.Factory.StartNew(() =>
            {
                start.SignalAndWait(Cancel);
                return llm.Description;
            }, Cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
        Assert.All(descriptions, description => Assert.Same(descriptions[0], description));
    }

    [Fact]
    public async Task TheWrongPortOrScheme_SaysWhatToUse()
    {
        string grpc = Service.Address.ToString().TrimEnd('/'), http = Service.DashboardAddress.ToString().TrimEnd('/');
        NdifException dashboard = await RefusedAsync(http);
        NdifException tls = await RefusedAsync(grpc.Replace("http:", "https:", StringComparison.Ordinal));
        Assert.Matches("does not speak gRPC|the connection was closed", dashboard.Message); // as the client sees the answer or the end
        Assert.Contains("the address of gRPC, port 5080 by default", dashboard.Message, StringComparison.Ordinal);
        Assert.Contains("does not speak TLS", tls.Message, StringComparison.Ordinal);
        Assert.Contains($"use {grpc}.", tls.Message, StringComparison.Ordinal);

        static async Task<NdifException> RefusedAsync(string host)
        {
            Backend there = Ndif.Backend.At(host, "ndif_nokey");
            NdifException refused = await Assert.ThrowsAnyAsync<NdifException>(() => Status.GetAsync(there, Cancel));
            Assert.Equal(ErrorCode.Unavailable, refused.Code);
            return refused;
        }
    }

    /// <summary>
    /// A connection that is accepted and then closed without an HTTP/2 response: a gateway that exits at that moment, or another program
    /// that listens on the port.
    /// </summary>
    [Theory]
    [InlineData("http", "https", "")]
    [InlineData("http", "https", "\x15\x03\x01\x00\x02\x02\x46")] // the alert of a TLS server that reads another protocol
    [InlineData("http", "http", "HTTP/1.1 400 Bad Request\r\n\r\n")]
    [InlineData("https", "http", "")]
    [InlineData("https", "http", "HTTP/1.1 400 Bad Request\r\n\r\n")]
    public async Task AServiceThatHangsUp_DoesNotAnswer(string scheme, string hint, string says)
    {
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        Task hangingUp = Task.Run(async () =>
        {
            while (true)
            {
                using System.Net.Sockets.Socket caller = await listener.AcceptSocketAsync(Cancel);
                if (says.Length > 0) await caller.SendAsync(System.Text.Encoding.ASCII.GetBytes(says), Cancel);
            }
        }, Cancel);
        Backend nobody = Ndif.Backend.At($"{scheme}://{listener.LocalEndpoint}", "ndif_key");
        for (int i = 0; i < 20; i++)
        {
            using Trace t = There.Trace(Paris, remote: nobody);
            There.LmHead.Output.Save();
            NdifException refused = await Assert.ThrowsAnyAsync<NdifException>(() => t.RunAsync(Cancel));
            Assert.Equal(ErrorCode.Unavailable, refused.Code);
            Assert.Contains($"{hint}://{listener.LocalEndpoint}", refused.Error.Hint, StringComparison.Ordinal);
        }
        listener.Stop();
        await Assert.ThrowsAnyAsync<Exception>(() => hangingUp);
    }

    [Fact]
    public async Task AKeyOrModelThatIsUnknown_IsSaid()
    {
        using Trace wrongKey =
            HereModel.Trace(Paris, remote: Ndif.Backend.At(Backend(ExecutionMode.Gateway).ToString().Split(' ')[1], "ndif_wrong"));
        await Assert.ThrowsAsync<AccessException>(() => wrongKey.RunAsync(Cancel));
        var unknown = new LanguageModel("ndif/no-such-model", remote: Backend(ExecutionMode.Gateway));
        var thrown = Assert.ThrowsAny<NdifException>(() => unknown.Layers);
        Assert.Equal(ErrorCode.UnknownModel, thrown.Code);
        Assert.Contains("ndif/no-such-model", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    [PortedFrom("test_serve_async/TestErrorHandling.test_nonblocking_collect_before_fire")]
    public async Task ALocalTrace_CannotBeSubmitted()
    {
        using Trace t = HereModel.Trace(Paris);
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => t.SubmitAsync(Cancel));
        Assert.Equal("Only a remote trace can be submitted without waiting: pass remote: true.", refused.Message);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    public async Task Inspect_ShowsAValueHere_AndIsRefusedThere(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        List<TensorData> seen = [];
        using Trace t = llm.Trace(Paris);
        t.Inspect(llm.Layers[1].Hidden, seen.Add);
        Saved hidden = llm.Layers[1].Hidden.Save();
        await t.RunAsync(Cancel);
        Same(hidden, Assert.Single(seen));
        LanguageModel there = There;
        using Trace remote = there.Trace(Paris);
        var refused = Assert.Throws<BadProgramException>(() => remote.Inspect(there.Layers[1].Hidden, seen.Add));
        Assert.Contains("Inspect is for local runs", refused.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AFunctionOfTheClient_IsCalledInTheMiddle(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Saved before = llm.Layers[1].Hidden.Clone().Save();
        llm.Layers[1].Hidden = t.Local(x => x * -1, llm.Layers[1].Hidden);
        Saved after = llm.Layers[2].Input.Save();
        await t.RunAsync(Cancel);
        Near(before.Tensor * -1, after, 0);
    }

    [Fact]
    public async Task TheStatus_ListsTheModel()
    {
        ServiceStatus status = await Status.GetAsync(Backend(ExecutionMode.Gateway), Cancel);
        Assert.Contains(status.Models, model => model.Id == ServiceFixture.Model);
        Assert.True(await Status.IsRunningAsync(ServiceFixture.Model, Backend(ExecutionMode.Gateway), Cancel));
        Assert.False(await Status.IsRunningAsync("ndif/other", Backend(ExecutionMode.Gateway), Cancel));
        Assert.False(await Status.IsRunningAsync(ServiceFixture.Model, Ndif.Backend.At("http://127.0.0.1:9"), Cancel));
    }

    [Fact]
    public async Task AnAttachedJob_HasItsValuesByTheirNames()
    {
        LanguageModel llm = Model(ExecutionMode.Gateway);
        using Trace t = llm.Trace(Paris);
        llm.Layers[1].Hidden.Save();
        llm.Layers[2].Output[0][.., ^1].Save();
        llm.LmHead.Output.Softmax(-1).Save();
        llm.LmHead.Output.Softmax(0).Save();
        llm.LmHead.Parameter("weight").Save();
        llm.LmHead.Output.Save("softmax #2");
        Job submitted = await t.SubmitAsync(Cancel);
        Job job = await Job.AttachAsync(submitted.Id, Backend(ExecutionMode.Gateway), Cancel);
        await job.WaitAsync(Cancel);
        Assert.Equal(["lm_head.weight", "softmax", "softmax #2", "softmax #3", "transformer.h.1.hidden", "transformer.h.2.output"],
            job.Results.Keys.Order(StringComparer.Ordinal));
    }
}
