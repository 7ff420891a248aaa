using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>
/// What the sites of a collection have, found by a job of two small passes before anything is written: whether each has an entry for each
/// token, and its type and shape; and on which side the model pads.
/// </summary>
internal sealed record SiteProbe(IReadOnlyList<ActivationSite> Sites, bool PadsRight, bool IsRemote)
{
    /// <summary>The lengths of the rows of the passes; two of them, so that no other dimension of a value equals both.</summary>
    private static readonly int[][] _lengths = [[3, 2], [5, 5, 5]];

    /// <exception cref="NdifException">BAD_ARGUMENT: a site has no entry for each token. UNKNOWN_MODULE: there is none.</exception>
    public static async Task<SiteProbe> RunAsync(
        TransformersModel model, IReadOnlyList<string> sites, DType? dtype, Backend? remote, CancellationToken cancellationToken)
    {
        if (model.Description.Task is ModelTask.Seq2SeqLm)
            throw Errors.CreateException(ErrorCode.Unsupported,
                $"`{model.Id}` is an encoder-decoder, whose activations cannot be collected.", "Trace it with texts for both sides.");
        (Task run, bool isRemote, Saved ids, Saved[][] passes) = Start(model, sites, remote, cancellationToken);
        await run;
        IEnumerable<ActivationSite> found = sites.Select((site, i) => Check(site, [.. passes.Select(pass => pass[i].Result)], dtype));
        long[] padded = ids.ToArray<long>()[_lengths[0][0]..]; // the second row of the first pass
        return new SiteProbe([.. found], padded[0] == 1 && padded[1] == 2, isRemote);
    }

    private static (Task Run, bool IsRemote, Saved Ids, Saved[][] Passes) Start(
        TransformersModel model, IReadOnlyList<string> sites, Backend? remote, CancellationToken cancellationToken)
    {
        using Session session = model.Session(remote);
        Saved ids;
        using (Trace trace = model.Trace())
        {
            using (trace.Invoke(NewRows(_lengths[0]))) { }
            using (trace.Invoke())
            {
                ids = model.Embed.Input.Save();
                trace.Stop();
            }
        }
        Saved[][] passes = [.. _lengths.Select(lengths => BatchRunner.RecordSites(model, sites, NewRows(lengths), value => value))];
        return (BatchRunner.StartAsync(session, cancellationToken), session.IsRemote, ids, passes);
    }

    /// <summary>Rows of the tokens 1, 2, 3, ...</summary>
    private static int[][] NewRows(int[] lengths) => [.. lengths.Select(length => Enumerable.Range(1, length).ToArray())];

    private static ActivationSite Check(string site, object?[] values, DType? dtype)
    {
        long[][] shapes = new long[values.Length][];
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] is not TensorData tensor)
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"The site `{site}` is {DataDeserializer.Describe(values[i])}, not a tensor.",
                    site.EndsWith(".output", StringComparison.Ordinal)
                        ? $"Use `{site[..^".output".Length]}.hidden`, the first tensor of the output." : "");
            shapes[i] = tensor.Shape.ToArray();
            if (shapes[i] is not [var batch, var length, ..] || batch != _lengths[i].Length || length != _lengths[i][0]
                || !shapes[i].AsSpan(2).SequenceEqual(shapes[0].AsSpan(2)))
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"The site `{site}` has no entry for each token: for {_lengths[i].Length} texts of {_lengths[i][0]} tokens its shape "
                    + $"is [{string.Join(", ", shapes[i])}], not [{_lengths[i].Length}, {_lengths[i][0]}, ...].",
                    "Collect a site of the shape [batch, seq, ...], such as the hidden state of a layer.");
        }
        DType own = ((TensorData)values[0]!).Type;
        return new ActivationSite(site, dtype ?? own, shapes[0][2..]);
    }
}
