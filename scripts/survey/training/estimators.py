"""scikit-learn's estimators, by skl2onnx."""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import Int64TensorType, StringTensorType
from sklearn import (
    calibration,
    cluster,
    compose,
    cross_decomposition,
    datasets,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    svm,
    tree,
)

from scripts.survey.training.made import Recipe, Rows

OPSETS = {"": 18, "ai.onnx.ml": 3}
RUNS = 3
BY = "scikit-learn, skl2onnx"

Data = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@cache
def data(name: str) -> Data:
    """Gives rows and targets by the name of a set."""
    if name in ("iris", "wine", "breast_cancer", "digits"):
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    elif name == "diabetes":
        x, y = datasets.load_diabetes(return_X_y=True)
    elif name == "positive":
        x, y = datasets.load_diabetes(return_X_y=True)
        x, y = np.abs(x) * 100, y / 100
    elif name == "counts":
        x, y = datasets.load_digits(return_X_y=True)
        x, y = x[:, 20:44], y
    elif name == "categories":
        rng = np.random.default_rng(0)
        x = rng.integers(0, 5, (300, 4))
        y = (x[:, 0] * 2 + x[:, 1] > 6).astype(int)
    elif name == "targets":
        x, y = datasets.make_regression(300, 8, n_targets=3, random_state=0)
    elif name == "labels":
        x, y = datasets.make_multilabel_classification(300, 8, n_classes=3, random_state=0)
    elif name == "gaps":
        x, y = datasets.load_diabetes(return_X_y=True)
        x = x.copy()
        x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    elif name == "words":
        x, y = datasets.load_iris(return_X_y=True)
        y = np.array(["setosa", "versicolor", "virginica"])[y]
    else:
        raise ValueError(name)
    order = np.random.default_rng(0).permutation(len(x))[:400]
    return x[order].astype(np.float32), y[order]


def made(
    model: Any, on: str, dtype: Any = np.float32, options: Mapping[str, Any] | None = None
) -> tuple[bytes, Rows]:
    """Trains a model on all rows but a few, and converts it."""
    x, y = data(on)
    x = x.astype(dtype)
    model.fit(x[RUNS:], y[RUNS:])
    chosen = {id(model): dict(options)} if options else None
    proto = to_onnx(model, x[:1], target_opset=OPSETS, options=chosen)
    return proto.SerializeToString(), [x[:RUNS]]


def recipes() -> Iterator[Recipe]:
    """Yields a model of every family, with its options and its dtypes."""
    for name, model, on in (*_regressors(), *_classifiers(), *_others()):
        yield Recipe(f"sklearn/{name}", BY, partial(made, model, on))
    for name, model, on, dtype, options in _variants():
        yield Recipe(f"sklearn/{name}", BY, partial(made, model, on, dtype, options))
    yield Recipe("sklearn/columns", BY, _columns)
    yield Recipe("sklearn/columns-of-text", BY, _columns_of_text)
    yield Recipe("sklearn/tfidf", BY, _tfidf)
    yield Recipe("sklearn/integers", BY, _integers)


def _regressors() -> list[tuple[str, Any, str]]:
    r, d = 0, "diabetes"
    linear = linear_model

    def mlp(layers: tuple[int, ...], **options: Any) -> Any:
        return neural_network.MLPRegressor(
            hidden_layer_sizes=layers, solver="lbfgs", max_iter=50, random_state=r, **options
        )

    return [
        ("linear", linear.LinearRegression(), d),
        ("linear-targets", linear.LinearRegression(), "targets"),
        ("linear-without-intercept", linear.LinearRegression(fit_intercept=False), d),
        ("ridge", linear.Ridge(), d),
        ("ridge-cv", linear.RidgeCV(), d),
        ("lasso", linear.Lasso(0.1), d),
        ("lasso-cv", linear.LassoCV(cv=3), d),
        ("lasso-lars", linear.LassoLars(0.1), d),
        ("lasso-lars-ic", linear.LassoLarsIC(), d),
        ("elastic-net", linear.ElasticNet(0.1), d),
        ("lars", linear.Lars(), d),
        ("omp", linear.OrthogonalMatchingPursuit(), d),
        ("bayesian-ridge", linear.BayesianRidge(), d),
        ("ard", linear.ARDRegression(), d),
        ("huber", linear.HuberRegressor(max_iter=500), d),
        ("theil-sen", linear.TheilSenRegressor(random_state=r), d),
        ("ransac", linear.RANSACRegressor(random_state=r), d),
        ("sgd", linear.SGDRegressor(random_state=r), d),
        ("poisson", linear.PoissonRegressor(), "positive"),
        ("gamma", linear.GammaRegressor(), "positive"),
        ("tweedie", linear.TweedieRegressor(power=1.5), "positive"),
        ("quantile", linear.QuantileRegressor(alpha=0.1), d),
        ("multi-task-lasso", linear.MultiTaskLasso(0.1), "targets"),
        ("multi-task-elastic-net", linear.MultiTaskElasticNet(0.1), "targets"),
        ("pls", cross_decomposition.PLSRegression(3), d),
        ("svr-rbf", svm.SVR(), d),
        ("svr-linear", svm.SVR(kernel="linear"), d),
        ("svr-poly", svm.SVR(kernel="poly", degree=3), d),
        ("svr-sigmoid", svm.SVR(kernel="sigmoid"), d),
        ("nu-svr", svm.NuSVR(), d),
        ("linear-svr", svm.LinearSVR(max_iter=5000), d),
        ("knn-regressor", neighbors.KNeighborsRegressor(5), d),
        ("knn-regressor-distance", neighbors.KNeighborsRegressor(5, weights="distance"), d),
        ("radius-regressor", neighbors.RadiusNeighborsRegressor(0.5), d),
        ("tree-regressor", tree.DecisionTreeRegressor(max_depth=6, random_state=r), d),
        ("tree-regressor-targets", tree.DecisionTreeRegressor(max_depth=6), "targets"),
        ("extra-tree-regressor", tree.ExtraTreeRegressor(max_depth=6, random_state=r), d),
        ("forest-regressor", ensemble.RandomForestRegressor(20, max_depth=6, random_state=r), d),
        ("forest-regressor-targets", ensemble.RandomForestRegressor(10, max_depth=6), "targets"),
        ("extra-trees-regressor", ensemble.ExtraTreesRegressor(20, max_depth=6), d),
        ("boosting-regressor", ensemble.GradientBoostingRegressor(n_estimators=30), d),
        (
            "boosting-regressor-huber",
            ensemble.GradientBoostingRegressor(loss="huber", n_estimators=20),
            d,
        ),
        ("hist-boosting-regressor", ensemble.HistGradientBoostingRegressor(max_iter=20), d),
        ("hist-boosting-gaps", ensemble.HistGradientBoostingRegressor(max_iter=20), "gaps"),
        ("ada-boost-regressor", ensemble.AdaBoostRegressor(n_estimators=10, random_state=r), d),
        ("bagging-regressor", ensemble.BaggingRegressor(n_estimators=5, random_state=r), d),
        (
            "voting-regressor",
            ensemble.VotingRegressor(
                [("a", linear.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4))]
            ),
            d,
        ),
        (
            "stacking-regressor",
            ensemble.StackingRegressor(
                [("a", linear.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4))], cv=3
            ),
            d,
        ),
        ("mlp-regressor", mlp((16, 8)), d),
        ("mlp-targets", mlp((16,), activation="tanh"), "targets"),
        ("gaussian-process", gaussian_process.GaussianProcessRegressor(random_state=r), d),
        (
            "gaussian-process-kernels",
            gaussian_process.GaussianProcessRegressor(
                gaussian_process.kernels.ConstantKernel(1.0)
                * gaussian_process.kernels.Matern(1.0, nu=1.5)
                + gaussian_process.kernels.WhiteKernel(0.1),
                optimizer=None,
            ),
            d,
        ),
        (
            "gaussian-process-dot",
            gaussian_process.GaussianProcessRegressor(
                gaussian_process.kernels.DotProduct(), alpha=0.1, optimizer=None
            ),
            d,
        ),
        ("multi-output-regressor", multioutput.MultiOutputRegressor(linear.Ridge()), "targets"),
        (
            "grid-search",
            model_selection.GridSearchCV(linear.Ridge(), {"alpha": [0.1, 1.0]}, cv=3),
            d,
        ),
    ]


def _classifiers() -> list[tuple[str, Any, str]]:
    r, two, more = 0, "breast_cancer", "iris"
    linear = linear_model
    scaled = partial(pipeline.make_pipeline, preprocessing.StandardScaler())
    mlp = partial(neural_network.MLPClassifier, solver="lbfgs", max_iter=50, random_state=r)
    return [
        ("logistic-two", scaled(linear.LogisticRegression()), two),
        ("logistic-more", linear.LogisticRegression(max_iter=500), more),
        ("logistic-words", linear.LogisticRegression(max_iter=500), "words"),
        ("logistic-cv", linear.LogisticRegressionCV(cv=3, max_iter=500), more),
        ("ridge-classifier", linear.RidgeClassifier(), more),
        ("ridge-classifier-two", linear.RidgeClassifierCV(), two),
        ("sgd-log", scaled(linear.SGDClassifier(loss="log_loss", random_state=r)), two),
        ("sgd-hinge", linear.SGDClassifier(random_state=r), more),
        ("sgd-huber", linear.SGDClassifier(loss="modified_huber", random_state=r), more),
        ("perceptron", linear.Perceptron(random_state=r), more),
        ("lda", discriminant_analysis.LinearDiscriminantAnalysis(), more),
        ("lda-two", discriminant_analysis.LinearDiscriminantAnalysis(), two),
        ("qda", discriminant_analysis.QuadraticDiscriminantAnalysis(), more),
        ("linear-svc", svm.LinearSVC(max_iter=5000), more),
        ("linear-svc-two", svm.LinearSVC(max_iter=5000), two),
        ("svc-rbf", svm.SVC(), more),
        ("svc-linear", svm.SVC(kernel="linear"), more),
        ("svc-poly", svm.SVC(kernel="poly"), more),
        ("svc-sigmoid", scaled(svm.SVC(kernel="sigmoid")), two),
        ("svc-words", svm.SVC(), "words"),
        ("nu-svc", svm.NuSVC(), more),
        ("knn", neighbors.KNeighborsClassifier(5), more),
        ("knn-manhattan", neighbors.KNeighborsClassifier(3, metric="manhattan"), more),
        ("radius", neighbors.RadiusNeighborsClassifier(3.0), more),
        ("gaussian-nb", naive_bayes.GaussianNB(), more),
        ("multinomial-nb", naive_bayes.MultinomialNB(), "counts"),
        ("complement-nb", naive_bayes.ComplementNB(), "counts"),
        ("bernoulli-nb", naive_bayes.BernoulliNB(binarize=4.0), "counts"),
        ("categorical-nb", naive_bayes.CategoricalNB(), "categories"),
        ("tree", tree.DecisionTreeClassifier(max_depth=5, random_state=r), more),
        ("extra-tree", tree.ExtraTreeClassifier(max_depth=5, random_state=r), more),
        ("forest", ensemble.RandomForestClassifier(20, max_depth=6, random_state=r), "digits"),
        ("forest-two", ensemble.RandomForestClassifier(20, max_depth=6, random_state=r), two),
        ("extra-trees", ensemble.ExtraTreesClassifier(20, max_depth=6, random_state=r), more),
        ("boosting", ensemble.GradientBoostingClassifier(n_estimators=20), more),
        ("boosting-two", ensemble.GradientBoostingClassifier(n_estimators=20), two),
        (
            "boosting-exponential",
            ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=20),
            two,
        ),
        ("hist-boosting", ensemble.HistGradientBoostingClassifier(max_iter=20), more),
        ("hist-boosting-two", ensemble.HistGradientBoostingClassifier(max_iter=20), two),
        (
            "hist-boosting-categories",
            ensemble.HistGradientBoostingClassifier(max_iter=10, categorical_features=[0, 1]),
            "categories",
        ),
        ("ada-boost", ensemble.AdaBoostClassifier(n_estimators=10, random_state=r), more),
        ("bagging", ensemble.BaggingClassifier(n_estimators=5, random_state=r), more),
        (
            "voting-hard",
            ensemble.VotingClassifier(
                [("a", linear.LogisticRegression(max_iter=500)), ("b", naive_bayes.GaussianNB())],
                flatten_transform=False,
            ),
            more,
        ),
        (
            "voting-soft",
            ensemble.VotingClassifier(
                [("a", linear.LogisticRegression(max_iter=500)), ("b", naive_bayes.GaussianNB())],
                voting="soft",
                flatten_transform=False,
            ),
            more,
        ),
        (
            "stacking",
            ensemble.StackingClassifier(
                [("a", linear.RidgeClassifier()), ("b", naive_bayes.GaussianNB())], cv=3
            ),
            more,
        ),
        ("mlp", mlp((16, 8)), more),
        ("mlp-two", scaled(mlp((16,))), two),
        ("mlp-logistic", mlp((16,), activation="logistic"), "digits"),
        ("mlp-tanh", mlp((16,), activation="tanh"), more),
        ("mlp-labels", mlp((16,)), "labels"),
        ("gaussian-process-classifier", gaussian_process.GaussianProcessClassifier(), two),
        ("one-vs-rest", multiclass.OneVsRestClassifier(linear.LogisticRegression()), more),
        ("one-vs-one", multiclass.OneVsOneClassifier(linear.LogisticRegression()), more),
        ("multi-output", multioutput.MultiOutputClassifier(linear.LogisticRegression()), "labels"),
        (
            "calibrated-sigmoid",
            calibration.CalibratedClassifierCV(svm.LinearSVC(max_iter=5000), cv=2),
            more,
        ),
        (
            "calibrated-isotonic",
            calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), method="isotonic", cv=2),
            two,
        ),
    ]


def _others() -> list[tuple[str, Any, str]]:
    r, x = 0, "iris"
    ridge = linear_model.Ridge()
    before = pipeline.make_pipeline
    of_columns = preprocessing
    return [
        ("k-means", cluster.KMeans(4, n_init=1, random_state=r), x),
        ("mini-batch-k-means", cluster.MiniBatchKMeans(4, n_init=1, random_state=r), x),
        ("gaussian-mixture", mixture.GaussianMixture(3, random_state=r), x),
        (
            "gaussian-mixture-diagonal",
            mixture.GaussianMixture(3, covariance_type="diag", random_state=r),
            x,
        ),
        (
            "gaussian-mixture-tied",
            mixture.GaussianMixture(3, covariance_type="tied", random_state=r),
            x,
        ),
        ("bayesian-mixture", mixture.BayesianGaussianMixture(n_components=3, random_state=r), x),
        ("isolation-forest", ensemble.IsolationForest(n_estimators=10, random_state=r), x),
        ("outlier-factor", neighbors.LocalOutlierFactor(novelty=True), x),
        ("one-class-svm", svm.OneClassSVM(), x),
        ("knn-transformer", neighbors.KNeighborsTransformer(n_neighbors=3), x),
        ("nca", neighbors.NeighborhoodComponentsAnalysis(2, random_state=r), x),
        ("pca", decomposition.PCA(2), x),
        ("pca-whitened", decomposition.PCA(2, whiten=True), x),
        ("incremental-pca", decomposition.IncrementalPCA(2), x),
        ("kernel-pca", decomposition.KernelPCA(2, kernel="rbf"), x),
        ("truncated-svd", decomposition.TruncatedSVD(2), "digits"),
        ("projection", random_projection.GaussianRandomProjection(4, random_state=r), "digits"),
        ("standard-scaler", preprocessing.StandardScaler(), x),
        ("min-max-scaler", before(preprocessing.MinMaxScaler(clip=True), ridge), x),
        ("max-abs-scaler", before(preprocessing.MaxAbsScaler(), ridge), x),
        ("robust-scaler", before(preprocessing.RobustScaler(), ridge), x),
        ("normalizer-l1", before(preprocessing.Normalizer("l1"), ridge), x),
        ("normalizer-l2", before(preprocessing.Normalizer("l2"), ridge), x),
        ("normalizer-max", before(preprocessing.Normalizer("max"), ridge), x),
        ("binarizer", before(preprocessing.Binarizer(threshold=3), ridge), x),
        ("bins-one-hot", before(of_columns.KBinsDiscretizer(4, encode="onehot-dense"), ridge), x),
        ("bins-ordinal", before(of_columns.KBinsDiscretizer(4, encode="ordinal"), ridge), x),
        ("polynomial", before(preprocessing.PolynomialFeatures(3), ridge), x),
        ("polynomial-interactions", preprocessing.PolynomialFeatures(interaction_only=True), x),
        ("power", before(preprocessing.PowerTransformer(), ridge), x),
        ("power-box-cox", before(preprocessing.PowerTransformer("box-cox"), ridge), x),
        ("quantiles", preprocessing.QuantileTransformer(n_quantiles=20), x),
        ("one-hot", before(preprocessing.OneHotEncoder(sparse_output=False), ridge), "categories"),
        ("ordinal", before(preprocessing.OrdinalEncoder(), ridge), "categories"),
        ("target-encoder", before(preprocessing.TargetEncoder(), ridge), "categories"),
        ("imputer", before(impute.SimpleImputer(), ridge), "gaps"),
        ("imputer-median", before(impute.SimpleImputer(strategy="median"), ridge), "gaps"),
        ("imputer-indicator", before(impute.SimpleImputer(add_indicator=True), ridge), "gaps"),
        ("knn-imputer", before(impute.KNNImputer(n_neighbors=2), ridge), "gaps"),
        ("select-k-best", before(feature_selection.SelectKBest(k=2), ridge), x),
        ("variance-threshold", before(feature_selection.VarianceThreshold(0.3), ridge), x),
        ("rfe", feature_selection.RFE(ridge, n_features_to_select=2), x),
        (
            "select-from-model",
            before(feature_selection.SelectFromModel(linear_model.Lasso(0.01)), ridge),
            x,
        ),
        (
            "union",
            before(
                pipeline.make_union(preprocessing.StandardScaler(), decomposition.PCA(2)),
                linear_model.LogisticRegression(),
            ),
            x,
        ),
    ]


def _variants() -> list[tuple[str, Any, str, Any, Mapping[str, Any] | None]]:
    r, single, double = 0, np.float32, np.float64
    logistic = partial(linear_model.LogisticRegression, max_iter=500)
    forest = partial(ensemble.RandomForestClassifier, 10, max_depth=5, random_state=r)
    return [
        ("logistic-tensor", logistic(), "iris", single, {"zipmap": False}),
        ("logistic-by-columns", logistic(), "iris", single, {"zipmap": "columns"}),
        ("logistic-raw", logistic(), "iris", single, {"raw_scores": True, "zipmap": False}),
        ("logistic-classless", logistic(), "iris", single, {"nocl": True, "zipmap": False}),
        ("logistic-double", logistic(), "iris", double, {"zipmap": False}),
        ("forest-tensor", forest(), "iris", single, {"zipmap": False}),
        ("forest-double", forest(), "iris", double, {"zipmap": False}),
        (
            "forest-labels",
            ensemble.RandomForestClassifier(10, max_depth=5, random_state=r),
            "labels",
            single,
            {"zipmap": False},
        ),
        ("forest-path", forest(), "iris", single, {"zipmap": False, "decision_path": True}),
        ("forest-leaf", forest(), "iris", single, {"zipmap": False, "decision_leaf": True}),
        ("linear-double", linear_model.LinearRegression(), "diabetes", double, None),
        ("tree-double", tree.DecisionTreeRegressor(max_depth=5), "diabetes", double, None),
        ("knn-cdist", neighbors.KNeighborsClassifier(5), "iris", single, {"optim": "cdist"}),
        (
            "knn-regressor-cdist",
            neighbors.KNeighborsRegressor(5),
            "diabetes",
            single,
            {"optim": "cdist"},
        ),
        (
            "gaussian-process-cdist",
            gaussian_process.GaussianProcessRegressor(random_state=r),
            "diabetes",
            single,
            {"optim": "cdist"},
        ),
        (
            "gaussian-process-deviation",
            gaussian_process.GaussianProcessRegressor(alpha=0.1, random_state=r),
            "diabetes",
            single,
            {"return_std": True},
        ),
        (
            "mixture-scores",
            mixture.GaussianMixture(3, random_state=r),
            "iris",
            single,
            {"score_samples": True},
        ),
        (
            "isolation-scores",
            ensemble.IsolationForest(n_estimators=10, random_state=r),
            "iris",
            single,
            {"score_samples": True},
        ),
        ("svc-raw", svm.SVC(), "iris", single, {"raw_scores": True, "zipmap": False}),
        (
            "mlp-double",
            neural_network.MLPClassifier((8,), solver="lbfgs", max_iter=50, random_state=r),
            "iris",
            double,
            {"zipmap": False},
        ),
    ]


def _columns() -> tuple[bytes, Rows]:
    x, y = data("categories")
    numbers = np.random.default_rng(1).standard_normal((len(x), 4)).astype(np.float32)
    both = np.hstack([x, numbers]).astype(np.float32)
    chosen = compose.ColumnTransformer(
        [
            ("c", preprocessing.OneHotEncoder(sparse_output=False), [0, 1, 2, 3]),
            ("n", preprocessing.StandardScaler(), [4, 5, 6, 7]),
        ]
    )
    model = pipeline.make_pipeline(chosen, ensemble.GradientBoostingClassifier(n_estimators=10))
    model.fit(both, y)
    proto = to_onnx(model, both[:1], target_opset=OPSETS)
    return proto.SerializeToString(), [both[:RUNS]]


def _columns_of_text() -> tuple[bytes, Rows]:
    rng = np.random.default_rng(0)
    colours = np.array(["red", "green", "blue"], object)[rng.integers(0, 3, (200, 1))]
    y = (colours[:, 0] == "red").astype(int)
    encoder = preprocessing.OneHotEncoder(sparse_output=False)
    model = pipeline.make_pipeline(encoder, linear_model.LogisticRegression()).fit(colours, y)
    types = [("colour", StringTensorType([None, 1]))]
    return to_onnx(model, initial_types=types, target_opset=OPSETS).SerializeToString(), []


def _tfidf() -> tuple[bytes, Rows]:
    texts = ["the model is right", "the proof is wrong", "a lie is slashed", "a bond is locked"] * 9
    words = feature_extraction.text.TfidfVectorizer()
    model = pipeline.make_pipeline(words, linear_model.LogisticRegression())
    model.fit(texts, [0, 1, 1, 0] * 9)
    types = [("text", StringTensorType([None]))]
    return to_onnx(model, initial_types=types, target_opset=OPSETS).SerializeToString(), []


def _integers() -> tuple[bytes, Rows]:
    x, y = data("categories")
    model = tree.DecisionTreeClassifier(max_depth=5, random_state=0).fit(x, y)
    types = [("x", Int64TensorType([None, 4]))]
    proto = to_onnx(model, initial_types=types, target_opset=OPSETS)
    return proto.SerializeToString(), [x[:RUNS].astype(np.int64)]
